# Compiled for its calls: three with each read of each publisher. Its classes are of Python, like that which they extend.
