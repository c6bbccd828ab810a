"""Published data sets brought into the dialogue format of training and evaluation."""
