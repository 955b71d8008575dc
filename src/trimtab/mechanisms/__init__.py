"""Mechanisms make records: adversarial training, bias mitigation, value reinforcement."""
