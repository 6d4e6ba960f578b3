"""REST and WebSocket over signals, live and stored."""
