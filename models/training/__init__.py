"""Training of models/tiny from scratch on synthetic data: `python -m models.training.train`."""
