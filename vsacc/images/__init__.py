"""From files to pixels: photographs developed to sRGB, stored as pyramids, downloaded, and images that are made."""
