"""Rules to alerts to notifications."""
