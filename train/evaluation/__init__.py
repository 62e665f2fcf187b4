"""Evaluation of an artifact or a checkpoint: rounds, measures, tables, reports."""
