"""Tools of the project: packaging for deployment, and the local stack. No part of what is deployed."""
