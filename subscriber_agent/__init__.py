"""The friend's side: receives what he is entitled to, decides by his own rules, hands over to his own engine."""
