"""The stages that `python -m grader check` runs here: training and tagging endev. The grader at home has more."""
