"""The generators and the recipe that train the embedded model."""
