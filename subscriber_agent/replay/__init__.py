"""What if: past signals through the same `decide`, on a paper account in memory. Same input, same bytes out."""
