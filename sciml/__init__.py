"""sciml: graphs, symmetry and symbolic laws for molecules and physics."""
