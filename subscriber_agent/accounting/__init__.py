"""What the friend holds and has lost: book, ledger of losses and latches, the exchange's calendar."""
