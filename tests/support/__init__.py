"""What the tests share: messages, bodies, brokers, rigs."""
