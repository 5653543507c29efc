"""Events for the operator's endpoints: webhooks after Standard Webhooks; and the publish hook."""
