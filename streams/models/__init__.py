"""Model APIs: endpoints, the client, retry rules, prices."""
