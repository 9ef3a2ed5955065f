"""From sizes and limits to tasks, memory and the number of workers."""
