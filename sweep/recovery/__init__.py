"""What a crash or an outage leaves behind, and how the stores are made to agree again."""
