"""What a saccader is compared with, called the same way: images in, :class:`vsacc.model.Output` out."""
