"""The engine `catalyst_bot`: hands orders to Catalyst-Bot's own executor and position manager, where it has them."""
