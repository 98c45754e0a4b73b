"""The Alpaca engine. Only `sdk` imports alpaca-py, only `stream` websockets; `orders` and `answers` are pure."""
