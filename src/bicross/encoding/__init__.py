"""What both encoders share: checkpoints, tokenising, batching, pooling, windows, backends."""
