"""A server of the fluentd forward protocol (docs.fluentd.org, "Fluentd Forward Protocol Specification v1.5")."""
