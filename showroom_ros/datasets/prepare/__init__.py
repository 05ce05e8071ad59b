"""From a data set as published to what training and evaluation read: resumable, parallel, verified."""
