"""What a distillation found: report.json for programs, report.html for people, a summary for terminals."""

from sciml.distill.report.contract import Report, report
from sciml.distill.report.terminal import summary

__all__ = ["Report", "report", "summary"]
