"""The publisher's commands, mounted by the operator's command `catalyst`; `commands` has them all."""
