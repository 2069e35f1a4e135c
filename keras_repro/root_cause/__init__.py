"""From the evidence of a diagnosis to the cause, the line and the fix; no process, no model."""
