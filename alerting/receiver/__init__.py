"""Those who are told: one module each, listed in ``registry``."""
