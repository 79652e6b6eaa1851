{ sloth+:: [], pyrra+:: [] }
