"""Answers a bid request: pin, admit, propose, match, judge, price, reserve, answer."""
