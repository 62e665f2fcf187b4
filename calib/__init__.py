"""Teach a part: support views, exact Gaussian statistics, decision threshold."""
