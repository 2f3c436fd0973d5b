"""How far a bundle is from its checkpoint, and each way of running it from what its weights stand for."""
