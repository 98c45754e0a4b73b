"""The friend's own rules: which signal becomes which order. Pure: no clock, disk, network, log or randomness."""
