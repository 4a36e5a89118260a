"""The ways of a notebook to score, load and train, beside slidecell: one comparison."""
