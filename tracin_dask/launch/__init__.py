"""From a prepared run to the place where it is carried out: this process, workers on this machine, or a cluster."""
