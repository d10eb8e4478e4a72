"""What agentrt is measured against: the same job, written by hand, as the packages' own pages show it."""
