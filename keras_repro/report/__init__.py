"""What people read: terminal output, pages, charts, the section of a paper."""
