"""What every call goes through: nothing here knows a loss by name."""
