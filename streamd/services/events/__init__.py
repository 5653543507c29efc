"""What happens here, told to whom the operator names: webhooks after Standard Webhooks; and the publish hook."""
