"""What both sides measure: every metric in one table, samples that keep to it, and the page that Prometheus reads.

The table is the source of docs/metrics.md, and dashboards and alert rules are tested against it.
"""
