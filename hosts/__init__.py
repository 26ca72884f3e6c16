"""The programs that serve api/, a folder for each host: Vercel needs none."""
