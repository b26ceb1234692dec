"""TinyChange: how small a change of a model each detector sees (after "Log Probability Tracking of LLM APIs")."""
