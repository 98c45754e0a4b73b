"""The WebSocket crowd that offers compression, as browsers and the usual libraries do; the server then compresses."""

from functools import partial

import raw_websocket

crowd = partial(raw_websocket.crowd, offers="permessage-deflate")
