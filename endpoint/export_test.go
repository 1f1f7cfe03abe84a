package endpoint

// Race tells whether the race detector is on, under which everything is slower and memory is poisoned.
const Race = poison
