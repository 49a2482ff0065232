"""A bounded buffer on disk for records that nobody else keeps: what came over sockets, and events."""
