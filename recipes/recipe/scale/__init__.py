"""What of a run is in other processes: who computes its gradients."""
