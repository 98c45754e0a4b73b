"""The conformance kit: what every engine must do, as cases that run on the agreement alone.

`cases` is the table, `running` runs it for the command `engine test`, `suite` for somebody's own pytest.
"""
