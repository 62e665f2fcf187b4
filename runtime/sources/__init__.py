"""Where frames come from: files, videos, cameras, streams."""
