"""The desk's OPC UA server. It follows OPC 40100-1 (machine vision), whose types it reads from the NodeSet."""
