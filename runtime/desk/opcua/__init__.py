"""The desk's OPC UA server. It follows OPC 40100-1 (machine vision), whose NodeSet by the OPC Foundation lies here."""
