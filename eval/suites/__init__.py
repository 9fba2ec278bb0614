"""What a policy is measured on: suites as YAML, beside the code that reads them."""
