"""Events to level features to level signals: the pure engine and the workers around it."""
